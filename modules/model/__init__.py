"""The paper's networks and its method: model folders, references, attention, sampling, painting."""
