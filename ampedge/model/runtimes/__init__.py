"""What else can run a bundle: LiteRT, ONNX Runtime and Keras, each on a graph made of the bundle's own weights."""
