"""The only room that imports verl, ray or vllm."""
