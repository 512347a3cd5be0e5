{{- define "suigen.labels" -}}
{{ include "suigen.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: suigen
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "suigen.selector" -}}
app.kubernetes.io/name: suigen
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "suigen.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* The user name of the node-daemon's token, as the API server sees it. */}}
{{- define "suigen.daemonUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:suigen-node-daemon
{{- end }}

{{/* The user name of the operator's token. */}}
{{- define "suigen.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:suigen-operator
{{- end }}

{{- define "suigen.crdNames" -}}
[virtualservers.suigen.dev, disks.suigen.dev, serverclasses.suigen.dev, diskclasses.suigen.dev, serverimages.suigen.dev, hypervisors.suigen.dev, tenantnetworks.suigen.dev, networksegments.suigen.dev, networkports.suigen.dev, addressclaims.suigen.dev]
{{- end }}
