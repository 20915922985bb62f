"""The method (this folder) and the faces in photos (`faces/`); see CONTRIBUTING.md for the house."""
