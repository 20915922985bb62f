"""The whole way in plain Python, for programs and notebooks: no ComfyUI is needed."""
