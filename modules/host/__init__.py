"""What touches ComfyUI beside model/, and where ComfyUI is. Nothing heavy is imported before it is asked for."""
