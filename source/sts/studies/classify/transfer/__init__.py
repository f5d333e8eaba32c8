"""What --transfer is made of: fits between data sets, ways to carry over, and how it is told."""
