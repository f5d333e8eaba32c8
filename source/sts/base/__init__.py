"""What all stands on: workspace, settings, errors, runs, tracking, parallel work, safe files."""
