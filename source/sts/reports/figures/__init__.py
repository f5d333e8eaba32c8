"""Arrays become PNG and SVG; the only place that imports matplotlib."""
