"""Readers of the data sets that models are measured on: nothing here is ever trained on."""
