"""What every part stands on: workspace, settings, errors, run folders, tracking, parallel work, safe files."""
