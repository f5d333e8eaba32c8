"""What all stands on: workspace, settings, errors, runs, safe files, parallel work, the sandbox."""
