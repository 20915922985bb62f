"""The method on the classes of diffusers and transformers: no ComfyUI is needed, and its nodes import nothing of it."""
