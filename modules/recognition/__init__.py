"""Who is it, and what is kept: two recognisers, landmarks, pose, gaze, expression, age and gender of a face."""
