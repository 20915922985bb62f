"""Synthetic faces with exactly known parameters. Pure torch and numpy; knows nothing of diffusion nor of ComfyUI."""
