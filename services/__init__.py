"""What is deployed into a stack: programs of their own, which import nothing of this tool."""
