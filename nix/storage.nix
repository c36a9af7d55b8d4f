# The storage server's part of the configuration: [storage], a file for each
# client, and what the package's units have to know of both. Certificates come by
# systemd, so that the server needs no right to read where they are.
{
  cfg,
  configFile,
  lib,
  ini,
}:
let
  inherit (cfg.storage)
    address
    clients
    openFirewall
    path
    port
    status_address
    status_port
    ;
  keys = [
    "tls_cert"
    "tls_key"
    "tls_ca"
  ];
  given = lib.filter (key: cfg.storage.${key} != null) keys;
  # One that is a credential already is so by a drop-in of the administrator's.
  isFile = key: lib.hasPrefix "/" cfg.storage.${key};
  inService = key: if isFile key then "$CREDENTIALS_DIRECTORY/${key}" else cfg.storage.${key};

  at = host: number: (if lib.hasInfix ":" host then "[${host}]" else host) + ":${toString number}";

  # The package's sockets listen at the usual places: those are taken back first.
  socket = place: {
    overrideStrategy = "asDropin";
    wantedBy = [ "sockets.target" ];
    listenStreams = [
      ""
      place
    ];
  };
in
{
  services.b1000.settings.storage = {
    inherit path port status_address status_port;
    clients_dir = "/etc/b1000/clients";
  }
  // lib.optionalAttrs (address != null) { inherit address; }
  // lib.filterAttrs (key: _: lib.hasPrefix "keep" key) cfg.storage
  // lib.genAttrs given inService;

  environment.etc = {
    # Without a client it is there, and admits nobody.
    "b1000/clients/.keep".text = "";
  }
  // lib.mapAttrs' (name: client: {
    name = "b1000/clients/${name}";
    value.text = ini.options client;
  }) clients;

  systemd.sockets.b1000-storage = socket (if address == null then toString port else at address port);
  systemd.sockets.b1000-storage-status = socket (at status_address status_port);

  systemd.services.b1000-storage = {
    overrideStrategy = "asDropin";
    path = cfg.package.runtimeInputs or [ ];
    restartTriggers = [ configFile ];
    unitConfig.RequiresMountsFor = [ path ];
    serviceConfig.LoadCredential = map (key: "${key}:${cfg.storage.${key}}") (lib.filter isFile given);
  };

  systemd.tmpfiles.settings.b1000-storage.${path}.d = {
    user = "root";
    group = "root";
    mode = "0700";
  };

  warnings = lib.optional (
    clients == { }
  ) "services.b1000.storage.clients is empty: the storage server admits nobody";

  networking.firewall.allowedTCPPorts = lib.mkIf openFirewall [ port ];
}
