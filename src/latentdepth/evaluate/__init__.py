"""How good a prediction is, by a stated protocol. Any ``Predictor`` can be scored; this package trains nothing."""
