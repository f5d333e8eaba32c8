"""Where public recordings and tables come from, and how they get here whole."""
