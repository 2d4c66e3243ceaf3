{{- define "fluxheim.labels" -}}
app.kubernetes.io/name: fluxheim
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "fluxheim.selector" -}}
app.kubernetes.io/name: fluxheim
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "fluxheim.image" -}}
{{ .Values.image.repository }}@{{ required "image.digest is needed: the container digest in the release notes, sha256:..." .Values.image.digest }}
{{- end }}

{{/* Whether the claim is one node's at a time, and so only one pod can be sure to get it. */}}
{{- define "fluxheim.alone" -}}
{{- if and .Values.persistence.enabled (not (has "ReadWriteMany" .Values.persistence.accessModes)) }}
{{- if or .Values.autoscaling.enabled (gt (int (.Values.replicas | default 2)) 1) }}
{{- fail "persistence.accessModes without ReadWriteMany is for one pod: set autoscaling.enabled=false and replicas=1" }}
{{- end }}
{{- true }}
{{- end }}
{{- end }}

{{- define "fluxheim.mounts" -}}
- { name: config, mountPath: /etc/fluxheim, readOnly: true }
{{- if .Values.tlsSecret }}
- { name: tls, mountPath: /etc/fluxheim-tls, readOnly: true }
{{- end }}
{{- range $at, $name := .Values.secrets }}
- { name: secret-{{ $at }}, mountPath: {{ printf "/run/secrets/%s" $name | quote }}, readOnly: true }
{{- end }}
{{- if .Values.persistence.enabled }}
- { name: state, mountPath: /var/lib/fluxheim }
{{- end }}
{{- if .Values.admin.enabled }}
- { name: admin, mountPath: /run/fluxheim }
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Seconds that `stop_timeout` of the configuration is; what it is without that key is the program's own. */}}
{{- define "fluxheim.stop" -}}
{{- $found := regexFind "(?m)^\\s*stop_timeout\\s*=\\s*\"[0-9]+(s|m)\"" .Values.config }}
{{- if $found }}
{{- $time := regexFind "[0-9]+(s|m)" $found }}
{{- if hasSuffix "m" $time }}{{ mul 60 (int (trimSuffix "m" $time)) }}{{ else }}{{ int (trimSuffix "s" $time) }}{{ end }}
{{- else }}10{{ end }}
{{- end }}

{{/* Values that contradict each other, or the configuration: better no release than one that is not what was asked for. */}}
{{- define "fluxheim.sane" -}}
{{- with .Values }}
{{- if .autoscaling.enabled }}
{{- if .replicas }}
{{- fail "replicas has no effect beside the autoscaler: set autoscaling.minReplicas, or autoscaling.enabled=false" }}
{{- end }}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" }}
{{- end }}
{{- if not (dig "requests" "cpu" "" .resources) }}
{{- fail "the autoscaler measures by resources.requests.cpu: give one, or set autoscaling.enabled=false" }}
{{- end }}
{{- end }}
{{- range list "8080" "8443" "9090" }}
{{- if not (regexMatch (printf "(?m)^[^#\\n]*:%s\"" .) $.Values.config) }}
{{- fail (printf "config does not listen on port %s: Service, probes and network policy are for http 8080, https 8443, [metrics] listen 9090" .) }}
{{- end }}
{{- end }}
{{- $socket := regexMatch "(?m)^\\s*socket\\s*=\\s*\"/run/fluxheim/" .config }}
{{- $folder := .admin.enabled }}
{{- range .extraVolumeMounts }}{{ if eq (trimSuffix "/" .mountPath) "/run/fluxheim" }}{{ $folder = true }}{{ end }}{{ end }}
{{- if and .admin.enabled (not $socket) }}
{{- fail "admin.enabled gives the socket a folder, and config has no [admin] socket = \"/run/fluxheim/admin.sock\"" }}
{{- end }}
{{- if and $socket (not $folder) }}
{{- fail "config has a socket in /run/fluxheim, which is there with admin.enabled=true, or with one of extraVolumeMounts" }}
{{- end }}
{{- if and (not .tlsSecret) (regexMatch "(?m)^[^#\\n]*/etc/fluxheim-tls/" .config) }}
{{- fail "config names files in /etc/fluxheim-tls, which are those of the Secret in tlsSecret" }}
{{- end }}
{{- end }}
{{- $stop := int (include "fluxheim.stop" .) }}
{{- if ge (add (int .Values.preStopSeconds) $stop) (int64 .Values.terminationGracePeriodSeconds) }}
{{- fail (printf "preStopSeconds (%d) and stop_timeout of config (%ds) must together be less than terminationGracePeriodSeconds (%d)" (int .Values.preStopSeconds) $stop (int .Values.terminationGracePeriodSeconds)) }}
{{- end }}
{{- end }}

{{- define "fluxheim.hardened" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}
