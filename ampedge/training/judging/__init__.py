"""What a model is worth: rows through the pipeline, every figure of them, and the report."""
