"""The method (this folder) and the faces in photos (`faces/`); see the README for the house."""
