"""The packed half of LLMFlowLab: one contract, one base, one file per provider."""
