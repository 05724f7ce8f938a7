"""Following runs in TensorBoard, MLflow and Weights & Biases: listeners of the engine's events, in local files."""
