"""One file for each larger verb of the command line: its options, and what it runs. No torch before a verb runs."""
