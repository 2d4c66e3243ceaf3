{{- define "fluxheim.labels" -}}
app.kubernetes.io/name: fluxheim
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "fluxheim.selector" -}}
app.kubernetes.io/name: fluxheim
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fluxheim.image" -}}
{{ .Values.image.repository }}@{{ required "image.digest is needed: the container digest in the release notes, sha256:..." .Values.image.digest }}
{{- end }}

{{/* Whether the claim is one node's at a time, and so only one pod can be sure to get it. */}}
{{- define "fluxheim.alone" -}}
{{- if and .Values.persistence.enabled (not (has "ReadWriteMany" .Values.persistence.accessModes)) }}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}
{{- fail "persistence.accessModes without ReadWriteMany is for one pod: set autoscaling.enabled=false and replicas=1" }}
{{- end }}
{{- true }}
{{- end }}
{{- end }}

{{- define "fluxheim.mounts" -}}
- { name: config, mountPath: /etc/fluxheim, readOnly: true }
- { name: tls, mountPath: /etc/fluxheim-tls, readOnly: true }
{{- range .Values.secrets }}
- { name: {{ printf "secret-%s" . | quote }}, mountPath: {{ printf "/run/secrets/%s" . | quote }}, readOnly: true }
{{- end }}
{{- if .Values.persistence.enabled }}
- { name: state, mountPath: /var/lib/fluxheim }
{{- end }}
{{- end }}

{{- define "fluxheim.hardened" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}
