"""The language model's part of an answer: what it is shown, what it may say, and what is kept of it."""
