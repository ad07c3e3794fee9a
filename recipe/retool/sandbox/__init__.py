"""Sandbox room: client and embedded server of SandboxFusion's /run_code contract."""
