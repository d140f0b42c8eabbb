"""Data for training and measuring, read into one ``Sample``."""
