"""Where answers come from: an OpenAI-compatible endpoint, recordings, or rules."""
