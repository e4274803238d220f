"""Reading a model's bundle without trusting it: archive limits, vetting of the ONNX graph, and the predictor.

May import `core`.
"""
