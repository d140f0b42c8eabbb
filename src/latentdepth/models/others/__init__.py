"""Other people's depth and normals networks behind the signature of a predictor."""
