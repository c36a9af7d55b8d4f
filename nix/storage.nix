# The storage server's part of the configuration: [storage] and a file for each
# client. Certificates come by systemd, so that the server needs no right to read
# where they are.
{
  cfg,
  lib,
  ini,
}:
let
  inherit (cfg.storage) clients openFirewall;
  credential = key: "$CREDENTIALS_DIRECTORY/${key}";
  keys = lib.filter (key: cfg.storage.${key} != null) [
    "tls_cert"
    "tls_key"
    "tls_ca"
  ];
in
{
  services.b1000.settings.storage = {
    inherit (cfg.storage) path port;
    clients_dir = "/etc/b1000/clients";
  }
  // lib.genAttrs keys credential;

  environment.etc = lib.mapAttrs' (name: client: {
    name = "b1000/clients/${name}";
    value.text = ini.options client;
  }) clients;

  warnings = lib.optional (
    clients == { }
  ) "services.b1000.storage.clients is empty: the storage server admits nobody";

  networking.firewall.allowedTCPPorts = lib.mkIf openFirewall [ cfg.storage.port ];
}
