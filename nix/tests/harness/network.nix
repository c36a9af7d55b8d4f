# The test of a whole network, ../vm.nix: what each of its hosts consists of, also
# after a switch, and the script.
{ libPath }:
let
  lib = import libPath;
  test = import ../vm.nix { module = ../../module.nix; };

  evaluated =
    name: modules:
    import ./. {
      inherit libPath;
      modules = [ { networking.hostName = name; } ] ++ modules;
    };
  of = host: { inherit (host) failed result; };
  certificates = import ../certs.nix { inherit (evaluated "none" [ ]) pkgs; };
  nodes = lib.mapAttrs (name: node: evaluated name [ node ]) test.nodes;
in
{
  inherit (test) name;

  hosts = lib.mapAttrs (
    name: host:
    of host
    // {
      others = lib.mapAttrs (
        _: other:
        of (evaluated name [
          test.nodes.${name}
          other.configuration
        ])
      ) host.config.specialisation;
    }
  ) nodes;

  script = test.testScript { nodes = lib.mapAttrs (_: host: host.config) nodes; };

  # What the certificates are made by, and where a host looks for them.
  certificates = {
    inherit (certificates) script;
    place = certificates.outPath;
  };
}
