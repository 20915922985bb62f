"""The paper's measurements on pictures of faces: what is read off a face, how it is compared, tables and plots.

Pure torch and numpy but for painting.py, which runs the host's models.
"""
