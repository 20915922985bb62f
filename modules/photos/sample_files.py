"""Names of the pictures and the clip that ship with the pack: people of modules/synthetic, of whom nobody exists.

Only the standard library: commands know them before anything large is imported.
"""

# Name -> file in the pack's folder; tools/pictures/make.py makes them.
PICTURES = {"group": "assets/synthetic_group.jpg", "portrait": "assets/synthetic_portrait.jpg"}
CLIP = "assets/synthetic_clip.mp4"
