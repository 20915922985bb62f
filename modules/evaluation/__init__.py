"""The paper's measurements on pictures of faces: what is read off a face, how it is compared, tables and plots.

Pure torch and numpy, but for backends.py and the two evaluations, which run the host's models; painting.py runs the
engine that it is given.
"""
