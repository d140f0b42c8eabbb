"""The heavy stages on other engines than torch: written by ``latentdepth export``, read by ``load(runtime=...)``."""
