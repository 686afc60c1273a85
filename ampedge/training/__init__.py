"""Training, evaluation and export: the only place that may import TensorFlow, scikit-learn and their like."""
