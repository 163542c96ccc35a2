"""How a run goes: LightningModules that hold the parts and weigh the losses."""
