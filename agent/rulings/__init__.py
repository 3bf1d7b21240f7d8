"""Rules in the conversation: proposed, confirmed, listed, changed, and what they do to findings and answers."""
