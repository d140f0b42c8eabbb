"""Training: one loop, and tasks that give it losses."""
