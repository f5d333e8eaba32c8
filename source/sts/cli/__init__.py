"""One module a script: arguments become settings, settings become one study, results are printed."""
