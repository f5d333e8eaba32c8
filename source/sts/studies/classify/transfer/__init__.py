"""--transfer: fits between data sets, and classifiers carried over from one to the other."""
