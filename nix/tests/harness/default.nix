# Evaluates the module with nixpkgs' own lib, and nothing else of nixpkgs: what
# the tests look at needs no build and no network. The options of NixOS that the
# module sets are declared beside this file; packages are names.
{
  libPath,
  modules ? [ ],
  module ? ../../module.nix, # of the project; one of modules may be it already
}:
let
  lib = import libPath;
  pkgs = import ./pkgs.nix { inherit lib; };
  system = lib.evalModules {
    modules = [
      ./nixos.nix
      ./systemd.nix
      module
      { _module.args = { inherit pkgs; }; }
    ]
    ++ modules;
  };
  inherit (system) config options;
  visible = lib.filter (o: o.visible && !o.internal && lib.hasPrefix "services.b1000." o.name) (
    lib.optionAttrSetToDocList options
  );
  isText = _: f: f.text != null || f.source ? text;
in
{
  inherit lib pkgs config;

  failed = map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);

  # What a system with this configuration consists of, for JSON.
  result = {
    inherit (config) warnings;
    units = lib.mapAttrs (_: u: { inherit (u) enable overrideStrategy text wantedBy; }) config.systemd.units;
    etc = lib.mapAttrs (_: f: if f.text != null then f.text else f.source.text) (lib.filterAttrs isText config.environment.etc);
    files = lib.mapAttrs (_: f: {
      inherit (f) mode;
      source = toString f.source;
    }) (lib.filterAttrs (_: f: !isText null f) config.environment.etc);
    packages = map toString config.systemd.packages;
    ports = config.networking.firewall.allowedTCPPorts;
    tmpfiles = config.systemd.tmpfiles.settings;
    inherit (config.systemd.tmpfiles) rules;
    exporterFlags = config.services.prometheus.exporters.node.extraFlags;
  };

  documented = map (o: {
    inherit (o) name;
    description = o.description.text or o.description or null;
    hasExample = o ? example;
  }) visible;
}
