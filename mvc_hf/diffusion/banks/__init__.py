"""What the frozen encoders gave of images and captions, encoded once and kept."""
