"""Arrays become PNG and SVG; the only place that knows matplotlib."""
