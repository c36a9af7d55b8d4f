# What is refused before anything is built, each with the option's name. The
# program's own check of the text, which knows more, follows at build time.
{
  cfg,
  lib,
  ini,
}:
let
  name = "[A-Za-z0-9][-_.A-Za-z0-9]*";
  at = lib.showOption;
  own = [
    "services"
    "b1000"
  ];

  check = assertion: message: { inherit assertion message; };

  sections = lib.mapAttrsToList (title: set: { inherit title set; }) cfg.settings;
  values = lib.concatMap (
    { title, set }:
    lib.mapAttrsToList (key: value: {
      inherit title key value;
      option = at (own ++ [ "settings" title key ]);
      lines = ini.linesOf key value;
    }) (lib.filterAttrs ini.isSet set)
  ) sections;

  # A user and a password before the host of an address.
  holdsPassword = line: builtins.match ".*//[^/@]*:[^/@]*@.*" line != null;
  inStore = line: lib.hasPrefix builtins.storeDir line;
  isComment = line: builtins.match "(;.*|.*[[:space:]];.*)" line != null;

  ofValue = v: [
    (check (v.key != "password")
      "${v.option} would be in the Nix store, where everybody may read it; write password_file, or a file in /etc/b1000/conf.d"
    )
    (check (!lib.any holdsPassword v.lines)
      "${v.option} holds a password, which would be in the Nix store, where everybody may read it; write a file in /etc/b1000/conf.d"
    )
    (check
      (
        !(lib.elem v.key [
          "password_file"
          "environment_file"
          "tls_key"
        ])
        || !lib.any inStore v.lines
      )
      "${v.option} is a file of the Nix store, where everybody may read it; name one that is brought to this host by other means"
    )
    (check (!lib.any isComment v.lines)
      "${v.option}: a semicolon with white space before it begins a comment of b1000.cfg(5); leave the white space out, or call a script"
    )
    (check (builtins.match "[a-z][a-z0-9_]*" v.key != null) "${v.option}: not the name of an option")
  ];

  named = kind: set: lib.mapAttrsToList (n: _: check (builtins.match name n != null)
    "${at (own ++ [ kind n ])}: the name must look like ${name}"
  ) set;

  # What a job names must be there.
  known =
    kind: sectionKind:
    lib.attrNames cfg.${kind}
    ++ map (lib.removePrefix "${sectionKind}:") (
      lib.filter (lib.hasPrefix "${sectionKind}:") (lib.attrNames cfg.settings)
    );
  destsOf = job: lib.concatMap (w: lib.splitString "/" (lib.removeSuffix "&" w)) job.dest;

  ofJob =
    n: job:
    let
      option = key: at (own ++ [ "jobs" n key ]);
      refers =
        key: wanted: kind: sectionKind:
        map (w: check (!cfg.checkConfig || lib.elem w (known kind sectionKind))
          "${option key} names \"${w}\", which is not in services.b1000.${kind}"
        ) wanted;
      only =
        direction: key: check (job.direction == direction || !ini.isSet key job.${key}) "${option key} is for ${direction} jobs only";
    in
    [
      (check (job.dest != [ ]) "${option "dest"} is empty; name at least one of services.b1000.destinations")
      (check (
        job.direction != "push" || job.include != [ ] || job.streams != [ ] || job ? read_fifo
      ) "${option "include"} is empty; a push job needs it, or streams")
      (check (job.direction != "pull" || job.include != [ ]) "${option "include"} is empty; a pull job needs it")
      (check (job.direction != "pull" || job.report_source != null) "${option "report_source"} is not set; a pull job needs it")
      (check (job.share == null || job.listen != null) "${option "share"} needs listen, without which nothing is served")
      (check (job.on_demand != true || job.listen != null) "${option "on_demand"} needs listen, without which no connection is seen")
    ]
    ++ map (only "passive") [ "listen" "share" "on_demand" ]
    ++ map (only "pull") [ "hosts" "report_source" ]
    ++ refers "dest" (destsOf job) "destinations" "dest"
    ++ refers "report" job.report "reports" "report"
    ++ refers "streams" job.streams "streams" "stream";

  ofDestination =
    n: d:
    let
      option = key: at (own ++ [ "destinations" n key ]);
      isServer = d.path != null && lib.hasPrefix "b1000://" d.path;
    in
    [
      (check (d.type != "active" || d.path != null) "${option "path"} is not set; a destination of type active needs it")
      (check (d.type != "passive" || d.host != null) "${option "host"} is not set; a destination of type passive needs it")
      (check (d.type != "restic" || d.repository != null) "${option "repository"} is not set; a destination of type restic needs it")
    ]
    ++ map (
      key: check (!isServer || d.${key} != null) "${option key} is not set; a storage server asks for it"
    ) [ "tls_cert" "tls_key" "tls_ca" ];
in
lib.concatMap ofValue values
++ lib.concatLists (lib.mapAttrsToList ofJob cfg.jobs)
++ lib.concatLists (lib.mapAttrsToList ofDestination cfg.destinations)
++ lib.concatMap (kind: named kind cfg.${kind}) [ "jobs" "destinations" "reports" "streams" ]
++ lib.optionals cfg.storage.enable (
  map (
    key: check (cfg.storage.${key} != null) "${at (own ++ [ "storage" key ])} is not set; the storage server needs it"
  ) [ "tls_cert" "tls_key" "tls_ca" ]
  ++ lib.mapAttrsToList (n: _: check (builtins.match name n != null)
    "${at (own ++ [ "storage" "clients" n ])}: the name must look like ${name}"
  ) cfg.storage.clients
)
