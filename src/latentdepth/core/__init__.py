"""The method as pure functions over tensors: no files, no network access, no engines."""
