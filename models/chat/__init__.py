"""Chat models behind one interface, LangChain's `BaseChatModel`: endpoint, local, scripted. `models.chat.tiers` opens them by name."""
