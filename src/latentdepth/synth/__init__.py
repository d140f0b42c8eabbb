"""Procedural scenes with exact depth: our own synthetic RGB-D."""
