"""Import, the integer IR with its golden model, passes and plans. No hardware description lives here."""
