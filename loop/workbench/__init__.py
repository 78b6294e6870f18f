"""What a step does once it is let loose: measure, profile, retrieve, propose, apply, check."""
