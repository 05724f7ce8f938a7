"""What strategies are compared with: plain ways to train one network, or several, on a stream."""
