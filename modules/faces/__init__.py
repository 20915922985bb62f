"""Faces in photos: found, aligned, cropped, pasted back. Knows nothing of diffusion nor of ComfyUI."""
